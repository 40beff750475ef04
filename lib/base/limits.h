/*
 * Every limit of the system, in one place. Each is deliberate: posthorn.conf(5) lists them,
 * and a test stands at the edge of each. A _MAX is the largest value still accepted.
 * Sizes are octets, times have their unit in the name.
 */
/* This folder stands before the system's, whose <limits.h> other headers (OpenSSL's) count on. */
#include_next <limits.h>

#ifndef POSTHORN_BASE_LIMITS_H
#define POSTHORN_BASE_LIMITS_H

/* Names and addresses */
#define LIMIT_LOCAL_PART_MAX 256         /* of paths: RFC 5321 §4.5.3.1.1 asks for 64, §4.5.3.1 for more; VERP and SRS need it */
#define LIMIT_ACCOUNT_LOCAL_PART_MAX 64  /* of an account: files are named after it */
#define LIMIT_DOMAIN_MAX 255             /* RFC 5321 §4.5.3.1.2 */
#define LIMIT_ADDRESS_MAX 512            /* local part, @, domain; RFC 5321 §4.5.3.1.3 asks for 256 */
#define LIMIT_PASSWORD_MAX 1024
#define LIMIT_ALIAS_TARGETS_MAX 1000     /* addresses that one recipient expands to */
#define LIMIT_ALIAS_DEPTH_MAX 10
#define LIMIT_ALIAS_FILE_MAX 4194304     /* an /etc/aliases file that is imported */
#define LIMIT_ALIAS_FILE_PROBLEMS_MAX 1000 /* told of one such file; then reading stops */
#define LIMIT_APP_PASSWORDS_MAX 50       /* per account */

/* Configuration file */
#define LIMIT_CONFIG_SIZE_MAX 1048576
#define LIMIT_CONFIG_LIST_MAX 1000       /* values in a list, certificate sections */
#define LIMIT_CONFIG_VALUE_MAX 1024

/* SMTP and LMTP */
#define LIMIT_SMTP_LINE_MAX 2048         /* command line with CRLF; RFC 5321 §4.5.3.1.4 asks 512, extensions add */
#define LIMIT_SMTP_AUTH_LINE_MAX 12288   /* RFC 4954 §4 */
#define LIMIT_SMTP_RECIPIENTS_MAX 1000   /* per transaction, RFC 5321 §4.5.3.1.8; announced by LIMITS, RFC 9422 */
#define LIMIT_SMTP_TRANSACTIONS_MAX 1000 /* per connection; announced by LIMITS */
#define LIMIT_SMTP_ERRORS_MAX 20         /* bad commands before 421 */
#define LIMIT_SMTP_REPLY_LINES_MAX 100   /* of one reply that a server sends us */
#define LIMIT_SMTP_REPLY_LINE_MAX 2048   /* of them, with CRLF; RFC 5321 §4.5.3.1.5 says 512 */
#define LIMIT_SMTP_REPLY_TEXT_MAX 2000   /* text of one reply of ours, before escaping */
#define LIMIT_SMTP_TEXT_LINE_MAX 1000    /* content line with CRLF, RFC 5321 §4.5.3.1.6; longer ones are noted, not refused */
#define LIMIT_SMTP_ENVID_MAX 100         /* RFC 3461 §4.4 */
#define LIMIT_SMTP_ORCPT_MAX 500         /* RFC 3461 §4.2 */
#define LIMIT_SMTP_AUTH_PARAMETER_MAX 500 /* AUTH= of MAIL, RFC 4954 §3 */
#define LIMIT_MESSAGE_SIZE 52428800      /* default of SIZE and APPENDLIMIT; RFC 5321 §4.5.3.1.7 */
#define LIMIT_INLINE_BODY_MAX 1048576    /* larger bodies travel as files of their own */

/* POP3 */
#define LIMIT_POP3_LINE_MAX 255          /* command line with CRLF, RFC 2449 §4 */
#define LIMIT_POP3_AUTH_LINE_MAX 12288
#define LIMIT_POP3_ERRORS_MAX 20
#define LIMIT_POP3_STATUS_LINE_MAX 512   /* first line of an answer with CRLF, RFC 2449 §4 */
#define LIMIT_POP3_ANSWER_LINE_MAX 4096  /* what a client takes of a status, listing or CAPA line */
#define LIMIT_POP3_LISTING_MAX 10000000  /* lines of a listing that a client takes */
#define LIMIT_POP3_UID_MAX 70            /* RFC 1939 §7 */

/* IMAP */
#define LIMIT_IMAP_LINE_MAX 1048576      /* octets of a command outside its literals, after log-in */
#define LIMIT_IMAP_LITERALS_MAX 1048576  /* octets in the literals of a command, messages not counted */
#define LIMIT_IMAP_LITERALS_COUNT_MAX 10000 /* literals of a command */
#define LIMIT_IMAP_DISCARD_MAX 268435456 /* octets of a refused command that are read and dropped; then the connection ends */
#define LIMIT_IMAP_LOGIN_LINE_MAX 16384  /* the same three before log-in */
#define LIMIT_IMAP_LOGIN_LITERALS_MAX 8192
#define LIMIT_IMAP_LOGIN_DISCARD_MAX 65536
#define LIMIT_IMAP_LITERAL_MINUS_MAX 4096 /* sent without asking before log-in: LITERAL-, RFC 7888 §5 */
#define LIMIT_IMAP_TAG_MAX 256
#define LIMIT_IMAP_DEPTH_MAX 50          /* lists within lists of a command */
#define LIMIT_IMAP_RANGES_MAX 262144     /* of a sequence set */
#define LIMIT_IMAP_PATTERN_MAX 4096      /* of LIST */
#define LIMIT_IMAP_FLAG_MAX 255          /* of a flag or keyword in a command */
#define LIMIT_IMAP_FETCH_ITEMS_MAX 1000  /* data items of a FETCH */
#define LIMIT_IMAP_FETCH_FIELDS_MAX 1000 /* field names in all items of a FETCH */
#define LIMIT_IMAP_SECTION_DEPTH_MAX 100 /* part numbers of a section */
#define LIMIT_IMAP_SEARCH_KEYS_MAX 5000  /* of one SEARCH, SORT or THREAD, those of filters counted */
#define LIMIT_IMAP_SEARCH_DEPTH_MAX 50   /* lists and alternatives within each other */
#define LIMIT_IMAP_FILTER_DEPTH_MAX 8    /* filters within filters, RFC 5466 §3.1 */
#define LIMIT_IMAP_THREAD_REFERENCES_MAX 20000000 /* in all messages that one THREAD looks at */
#define LIMIT_IMAP_CONTEXTS_MAX 8        /* with UPDATE, in one session; RFC 5267 §4.3.1 */
#define LIMIT_IMAP_CONTEXT_MESSAGES_MAX 2000000 /* results of all of them */
#define LIMIT_IMAP_THREAD_STEPS 100      /* per message and reference, against loops of references */
#define LIMIT_IMAP_LIST_PATTERNS_MAX 32  /* of one LIST */
#define LIMIT_IMAP_ENTRIES_MAX 64        /* entries that GETMETADATA, SETMETADATA or RETURN (METADATA …) name */
#define LIMIT_IMAP_ENTRY_NAME_MAX 250    /* RFC 5464 §3.2 */
#define LIMIT_IMAP_ENTRY_DEPTH_MAX 20    /* components of such a name */
#define LIMIT_IMAP_ID_PAIRS_MAX 30       /* RFC 2971 §3.3 */
#define LIMIT_IMAP_ID_FIELD_MAX 30
#define LIMIT_IMAP_ID_VALUE_MAX 1024
#define LIMIT_IMAP_LANGUAGES_MAX 100     /* arguments of LANGUAGE and COMPARATOR */
#define LIMIT_IMAP_NOTIFY_GROUPS_MAX 100 /* event groups of NOTIFY SET */
#define LIMIT_IMAP_NOTIFY_NAMES_MAX 1000 /* mailbox names in all of them */
#define LIMIT_IMAP_NOTIFY_EVENTS_MAX 100 /* events of a group */
#define LIMIT_IMAP_NOTIFY_ITEMS_MAX 4096 /* octets of MessageNew's FETCH items */
#define LIMIT_IMAP_NOTIFY_MAILBOXES_MAX 10000 /* of an account with NOTIFY; with more it ends in NOTIFICATIONOVERFLOW */
#define LIMIT_IMAP_ERRORS_MAX 20         /* bad commands before BYE */
#define LIMIT_IMAP_MULTIAPPEND_MAX 1073741824 /* octets of all messages of an APPEND */
#define LIMIT_IMAP_MULTIAPPEND_MESSAGES_MAX 10000 /* of them */
#define LIMIT_IMAP_ANSWER_MAX 134217728  /* octets of answers that gather before they are sent; one element of an answer */
#define LIMIT_IMAP_TAGGED_MAX 33554432   /* octets of a tagged answer: COPYUID of a million messages */
#define LIMIT_IMAP_CAPABILITY_MAX 8192   /* octets of the list of capabilities */

/* Clients: what is taken from a server that nobody vouches for */
#define LIMIT_CLIENT_MAILS_MAX 1000000   /* in a listing */
#define LIMIT_CLIENT_TOP_MAX 4194304     /* octets of an answer to TOP */
#define LIMIT_CLIENT_MAIL_MAX 2147483648 /* octets of one mail; and no more than twice what was announced and 1 MB */
#define LIMIT_CLIENT_HEADER_MAX 65536    /* of a mail in a list that is looked at */
#define LIMIT_CLIENT_SEND_MAX 268435456  /* octets of a mail that is submitted */
#define LIMIT_CLIENT_LINE_MAX 8192       /* of a server's line that the exerciser shows */

/* Messages: what the parser looks at; beyond it a mail is kept and served raw */
#define LIMIT_HEADER_SIZE_MAX 1048576    /* header block that is parsed */
#define LIMIT_HEADER_FIELDS_MAX 10000
#define LIMIT_MIME_DEPTH_MAX 100
#define LIMIT_MIME_PARTS_MAX 10000
#define LIMIT_MIME_PARAMETERS_MAX 100
#define LIMIT_ADDRESSES_MAX 10000        /* per header field */
#define LIMIT_BOUNDARY_MAX 1024          /* RFC 2046 says 70; real ones are longer */
#define LIMIT_MESSAGE_ADDRESSES_MAX 20000 /* in all envelopes of a message */
#define LIMIT_MESSAGE_PARAMETERS_MAX 20000 /* of all its parts */
#define LIMIT_MESSAGE_HEADERS_SIZE_MAX 4194304 /* header octets of all its parts that are parsed */
#define LIMIT_MESSAGE_IDS_MAX 1000       /* of References that are read */
#define LIMIT_HEADER_SUBSET_MAX 8192     /* octets of header fields kept beside the envelope */
#define LIMIT_SUBJECT_MAX 1000           /* octets of a subject that sorting and threading look at */

/* Between processes */
#define LIMIT_IPC_FRAME_MAX 131072
#define LIMIT_IPC_DESCRIPTORS_MAX 4
#define LIMIT_DELIVERY_BATCH_MAX 64      /* mails that an account stores in one transaction */
#define LIMIT_IPC_WAITING_MAX 67108864   /* octets that wait for a peer that does not read; beyond it the peer is ended */
#define LIMIT_IPC_WAITING_DESCRIPTORS_MAX 1000 /* the same in descriptors */
#define LIMIT_LEFTOVER_MAX 32768         /* bytes read ahead that travel with a hand-over */

/* Queue */
#define LIMIT_QUEUE_OCTETS_MAX 268435456 /* of messages in memory: coming in, or not yet sent to their mailboxes */
#define LIMIT_QUEUE_MESSAGES_MAX 1000000 /* in the queue; then MAIL is refused for now */
#define LIMIT_QUEUE_ACCOUNT_MAX 10000    /* messages that wait for one account; then RCPT is refused for now */
#define LIMIT_QUEUE_LOOKUPS_MAX 20000    /* answers of auth that are remembered, in each of two generations */
#define LIMIT_QUEUE_LOOKUP_OCTETS_MAX 8388608 /* of them */
#define LIMIT_QUEUE_TOKENS_MAX 100000    /* log-ins that may submit */
#define LIMIT_QUEUE_FROM_MAX 1000        /* addresses in From that a transaction may ask for */
#define LIMIT_QUEUE_JOURNALS_TOLD_MAX 64 /* journals that an account's mail may be of; with more nothing is forgotten */
#define LIMIT_QUEUE_CONTROLS_MAX 20      /* posthornctl at the same time */

/* Milters */
#define LIMIT_MILTER_PACKET_MAX 1048576  /* octets of a packet: a header field that is longer is not shown whole */
#define LIMIT_MILTER_CHANGES_MAX 1000    /* header fields that one milter adds, changes or removes in a message */
#define LIMIT_GREYLIST_MAX 1000000       /* senders that are remembered; the oldest are forgotten first */

/* Relay */
#define LIMIT_RELAY_RECIPIENTS_MAX 100   /* of one job; RFC 5321 §4.5.3.1.8 lets a server take no more */
#define LIMIT_RELAY_RECIPIENTS_OCTETS_MAX 50000 /* of one job, packed */
#define LIMIT_RELAY_CONTENT_MAX 65536    /* octets of a message that comes to relay within its job, not as a file */
#define LIMIT_RELAY_NOTED_MAX 64         /* jobs whose results are said to be written down at once */
#define LIMIT_RELAY_REPLY_MAX 1000       /* octets of a remote reply that are kept */
#define LIMIT_STS_POLICY_MAX 65536       /* octets, RFC 8461 §3.3 */

/* Store */
#define LIMIT_SEGMENT_SIZE 67108864
#define LIMIT_OPEN_SEGMENTS 16           /* files that a store keeps open though nobody reads them */
#define LIMIT_REFERENCES_MAX 100         /* of a message, kept for threads: the first and the last ones */
#define LIMIT_MAILBOX_NAME_MAX 1000
#define LIMIT_MAILBOX_DEPTH_MAX 100
#define LIMIT_MAILBOXES_MAX 100000       /* of an account, with the levels above them */
#define LIMIT_SUBSCRIPTIONS_MAX 100000
#define LIMIT_KEYWORD_MAX 100
#define LIMIT_KEYWORDS_PER_MAILBOX 1000
#define LIMIT_ANNOTATIONS_MAX 1000       /* of an account and its mailboxes, RFC 5464 */
#define LIMIT_ANNOTATION_SIZE_MAX 65536
#define LIMIT_BALLAST_SIZE 16777216       /* of the file that goes when the disk is full; APPEND leaves as much free */
#define LIMIT_UID_GAP 65536              /* added to UIDNEXT and HIGHESTMODSEQ after an unclean stop */
#define LIMIT_SEARCH_MAIL_MAX 67108864    /* of a mail that is searched: what lies beyond is not looked at */
#define LIMIT_IMPORT_MAIL_MAX 1073741824  /* a mail that is imported or exported */
#define LIMIT_JOURNAL_RECORD_MAX 4194304 /* envelope and inline body */
#define LIMIT_ENVELOPE_SIZE_MAX 3145728
#define LIMIT_ENVELOPE_RECIPIENTS_MAX (LIMIT_SMTP_RECIPIENTS_MAX + LIMIT_ALIAS_TARGETS_MAX)
#define LIMIT_SPOOL_LOG_MAX 67108864     /* results of attempts in one message's own file */

#endif

/*
 * The measurements that mailbench knows, one function each; main's table names them.
 * Each takes its settings from opt and prints its own JSON lines.
 */
#ifndef POSTHORN_BENCH_STEPS_H
#define POSTHORN_BENCH_STEPS_H

void smtp_run(void);
void pop3_run(void);
void pop3_login_run(void);
void imap_login_run(void);
void imap_fetch_run(void);
void imap_store_run(void);
void imap_search_run(void);
void imap_sort_run(void);
void imap_thread_run(void);
void imap_append_run(void);
void imap_transfer_run(void);
void imap_expunge_run(void);
void imap_idle_run(void);
void imap_mixed_run(void);

#endif

#include "ctl_archive_text.h"

void ctl_text_to_mail(struct buf *mail, struct str text)
{
	while (text.length) {
		size_t end = str_find_char(text, '\n');
		bool has_cr = end > 0 && text.data[end - 1] == '\r';
		buf_add_str(mail, str_first(text, has_cr && end < text.length ? end - 1 : end));
		buf_add_str(mail, STR("\r\n"));
		text = str_from_index(text, end + 1);
	}
}

/* Every CR stands before a LF, every LF behind a CR, and the last line is ended. */
static bool has_clean_lines(struct str mail)
{
	for (size_t i = 0; i < mail.length; i++) {
		bool follows_cr = i > 0 && mail.data[i - 1] == '\r';
		if ((mail.data[i] == '\n') != follows_cr)
			return false;
	}
	return mail.length == 0 || mail.data[mail.length - 1] == '\n';
}

void ctl_text_of_mail(struct buf *text, struct str mail)
{
	if (!has_clean_lines(mail)) {
		buf_add_str(text, mail);
		return;
	}
	for (struct str line; str_take_until(&mail, '\n', &line);) {
		buf_add_str(text, str_first(line, line.length - 1));
		buf_add_char(text, '\n');
	}
}

/* Text from the network made safe for one line of a log: nothing in it can end the line,
 * close a quote, or move a terminal's cursor.
 *
 * Pure C: no Python, no system call.
 */
#ifndef CHAUSSETTE_ESCAPE_H
#define CHAUSSETTE_ESCAPE_H

#include "parse.h"

/* Writes text with `"` and `\` after a backslash and whatever is not printable ASCII as \xHH.
 * Stops at `end`, even within an escape. Returns where it stopped writing. */
char *escape_text(char *out, const char *end, struct slice text);

/* The same after %XX was decoded; a malformed escape stays as it is. */
char *escape_path(char *out, const char *end, struct slice path);

/* Writes text as the inside of a JSON string: valid UTF-8 as it is, any other byte as the
 * Latin-1 character \u00HH, so are control characters. Stops before the first character that
 * does not fit whole. */
char *escape_json(char *out, const char *end, struct slice text);

#endif

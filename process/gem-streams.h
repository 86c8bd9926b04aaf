/* The standard streams of a program: that they are there when it begins, and that what was written on
 * standard output arrived when it ends. */
#pragma once

/* First of all in main. Descriptors 0, 1 and 2 that are closed become /dev/null, or the first file or socket
 * that is opened would be taken for one of them: 0 and 1 so that reading and writing fail, as on what is
 * closed, 2 so that messages go nowhere. And from now on the process ends with 1 where something was written
 * on standard output and did not arrive, whoever wrote it: GLib ends the process itself after --help. */
void
gem_streams_begin(void);

/* "PROGRAM: standard output: ..." of errno `code` (0: not known) on standard error, unless it is EPIPE: a
 * reader that went away knows. Once: the end of the process is silent then, and keeps its status. */
void
gem_streams_complain(int code);

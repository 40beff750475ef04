/*
 * What the attempts find: folders, sockets and a victim, made in a temporary directory.
 */
#ifndef POSTHORN_TESTS_SCENE_H
#define POSTHORN_TESTS_SCENE_H

#include "escape.h"

/* The temporary directory, the sockets and the victim; once. */
void scene_open(void);
void scene_close(void);

/* Below it: "accounts/1" and so on. */
const char *scene_folder(const char *name);

/* All files as they were at first, whatever an attempt did to them. */
void scene_reset(void);

/* Is the neighbour's folder as scene_reset left it? */
bool scene_is_intact(const struct scene *s);

/* Fills in what is opened per process; for the child that makes the attempt, before its sandbox. mounts: it will
 * mount. */
void scene_enter(struct scene *s, const char *own, const char *neighbour, bool mounts);

#endif

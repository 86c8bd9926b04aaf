/*
 * The daemon's log: one line with structured fields, to the journal when it is there, else to standard error.
 * It carries ids, sizes, times and reasons; never a caller's text, and nothing that a model wrote.
 */
#pragma once

#include <glib.h>
#include <syslog.h> /* LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO */

/* MESSAGE_ID of each kind of event; systemd/gemd.catalog explains them to administrators. */
#define GEM_LOG_IDLE              "009e36e42a354563881734c7c3857855"
#define GEM_LOG_MODEL_LOADED      "98b6942e381646e8b58d96c0e42693b3"
#define GEM_LOG_MODEL_FAILED      "0061ab19e0dc4947b87d8997737cc338"
#define GEM_LOG_MODEL_NOT_CHANGED "2a044f3c1e2b49f982fdf40a7267ab9d"
#define GEM_LOG_PATHWAY_ABSENT    "9a2117ab6c0d40aba24635a6832a24bb"
#define GEM_LOG_PATHWAY_PAGED     "f59fd8ae6d4645e2a111cffbb53a70d1"
#define GEM_LOG_REQUEST_FINISHED  "73301f8f21d54b2d8f775a047c5e5f0b"
#define GEM_LOG_READER_DROPPED    "bb48cf14a8d54b95ab04a20dccdc9678"
#define GEM_LOG_DESCRIPTORS       "552ae72adc754abbae9d112264dfe577"
#define GEM_LOG_RELOADED          "555fe506ede847188b11fcd40578b08f"
#define GEM_LOG_RELOAD_FAILED     "f62342f631ad4ce4b5efd6e76c7c9a38"
#define GEM_LOG_NO_POLKIT         "f297937ab28a4a6d8f99af6269e4d52a"
#define GEM_LOG_MEMORY_SHORT      "9f3dcafe54fb4b2a82992c035381e4e3"
#define GEM_LOG_MEMORY_OVER       "a255cbd8c7e44953be8767f99ca5d74e"
#define GEM_LOG_SLEEP             "787d4f567f6e4b56ab3e5a32e5da15e0"
#define GEM_LOG_STALLED           "7aa2a8d66ce64845afaea8f91d77e02c"
#define GEM_LOG_RECORD_NOT_KEPT   "8d0f9f095cc04dcfaa036332ed3d0530"
#define GEM_LOG_MEMORY_LIMIT      "a883d7e1f9584a42a90710dc72c11993"
#define GEM_LOG_DEVICE_REFUSED    "7cf77f050ac046ab8319309d89ac8cdc"
#define GEM_LOG_DEVICE_DECLINED   "b3a1f0c2d5e64f1f8f0a7d9c64be2a17"
#define GEM_LOG_DEVICE_MISSING    "5d0c6a7be3f94c0d9a41c8b62f17d9e3"
#define GEM_LOG_DOMAIN_LEARNED    "752c2dd2c443456d912007213ac67cd2"
#define GEM_LOG_DOMAIN_REFUSED    "6ac0903403484381a5dae21774b85f22"
#define GEM_LOG_DOMAIN_FAILED     "c1f030bec4e945379a9d8731f89ec952"
#define GEM_LOG_TRAINER_IS_CHILD  "5b1d2c7e0f6a4a0e9c7a4f6c1e3f2d94"
#define GEM_LOG_DOMAINS_READ      "5e0c1b7f3a9d4c6e8b2f7d14a96c30e8"
#define GEM_LOG_DOMAINS_UNREAD    "e7d0a4b25c3f4b0b8f8f2c9d61a7435e"

/* `fields` is KEY, value, KEY, value, ..., NULL; NULL: none. Keys are upper case and begin with GEM_. */
void
gem_log(int priority, const char *message_id, const char *const *fields, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

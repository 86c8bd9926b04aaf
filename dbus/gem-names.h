/* The names of the contract, in one place. */
#pragma once

#define GEM_BUS_NAME          "org.gemd.Gem1"
#define GEM_OBJECT_PATH       "/org/gemd/Gem1"
#define GEM_SESSION_PATH      GEM_OBJECT_PATH "/session"
#define GEM_REQUEST_PATH      GEM_OBJECT_PATH "/request"
#define GEM_PATHWAY_PATH      GEM_OBJECT_PATH "/pathway"
#define GEM_BACKEND_PATH      GEM_OBJECT_PATH "/backend"
#define GEM_JOB_PATH          GEM_OBJECT_PATH "/job"
#define GEM_MANAGER_INTERFACE "org.gemd.Gem1.Manager"
#define GEM_SESSION_INTERFACE "org.gemd.Gem1.Session"
#define GEM_REQUEST_INTERFACE "org.gemd.Gem1.Request"
#define GEM_PATHWAY_INTERFACE "org.gemd.Gem1.Pathway"
#define GEM_BACKEND_INTERFACE "org.gemd.Gem1.Backend"
#define GEM_JOB_INTERFACE     "org.gemd.Gem1.Job"
#define GEM_ERROR_PREFIX      "org.gemd.Gem1.Error."

/* The longest text that a method takes, in bytes of UTF-8: 256 KiB. */
#define GEM_MAX_TEXT_BYTES (256u * 1024u)
/* What all arguments of a call may have together: the longest text, 256 labels of 1 KiB, options; 640 KiB. */
#define GEM_MAX_CALL_BYTES (640u * 1024u)

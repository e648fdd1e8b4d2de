/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the crate "blk_mq" needs beyond the kernel crate's bindings: its own
 * helpers and the constants that bindgen cannot evaluate from macros.
 */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/hdreg.h>
#include "../helpers/blk_mq.h"

/* The private data of a request starts this far behind its struct request. */
static const size_t RUST_EXT_BLK_REQUEST_SIZE = sizeof(struct request);

static const blk_status_t RUST_EXT_BLK_STS_OK = BLK_STS_OK;
static const blk_status_t RUST_EXT_BLK_STS_NOTSUPP = BLK_STS_NOTSUPP;
static const blk_status_t RUST_EXT_BLK_STS_TIMEOUT = BLK_STS_TIMEOUT;
static const blk_status_t RUST_EXT_BLK_STS_NOSPC = BLK_STS_NOSPC;
static const blk_status_t RUST_EXT_BLK_STS_TRANSPORT = BLK_STS_TRANSPORT;
static const blk_status_t RUST_EXT_BLK_STS_TARGET = BLK_STS_TARGET;
static const blk_status_t RUST_EXT_BLK_STS_MEDIUM = BLK_STS_MEDIUM;
static const blk_status_t RUST_EXT_BLK_STS_PROTECTION = BLK_STS_PROTECTION;
static const blk_status_t RUST_EXT_BLK_STS_RESOURCE = BLK_STS_RESOURCE;
static const blk_status_t RUST_EXT_BLK_STS_IOERR = BLK_STS_IOERR;
static const blk_status_t RUST_EXT_BLK_STS_AGAIN = BLK_STS_AGAIN;
static const blk_status_t RUST_EXT_BLK_STS_DEV_RESOURCE = BLK_STS_DEV_RESOURCE;
static const blk_status_t RUST_EXT_BLK_STS_ZONE_OPEN_RESOURCE = BLK_STS_ZONE_OPEN_RESOURCE;
static const blk_status_t RUST_EXT_BLK_STS_ZONE_ACTIVE_RESOURCE = BLK_STS_ZONE_ACTIVE_RESOURCE;
static const blk_status_t RUST_EXT_BLK_STS_OFFLINE = BLK_STS_OFFLINE;
static const blk_status_t RUST_EXT_BLK_STS_INVAL = BLK_STS_INVAL;

static const blk_features_t RUST_EXT_BLK_FEAT_WRITE_CACHE = BLK_FEAT_WRITE_CACHE;
static const blk_features_t RUST_EXT_BLK_FEAT_FUA = BLK_FEAT_FUA;
static const blk_features_t RUST_EXT_BLK_FEAT_ROTATIONAL = BLK_FEAT_ROTATIONAL;
static const blk_features_t RUST_EXT_BLK_FEAT_ADD_RANDOM = BLK_FEAT_ADD_RANDOM;
static const blk_features_t RUST_EXT_BLK_FEAT_STABLE_WRITES = BLK_FEAT_STABLE_WRITES;
static const blk_features_t RUST_EXT_BLK_FEAT_SYNCHRONOUS = BLK_FEAT_SYNCHRONOUS;
static const blk_features_t RUST_EXT_BLK_FEAT_ZONED = BLK_FEAT_ZONED;

static const unsigned int RUST_EXT_BLK_MAX_BLOCK_SIZE = BLK_MAX_BLOCK_SIZE;
static const unsigned int RUST_EXT_BLK_PAGE_SECTORS = PAGE_SECTORS;

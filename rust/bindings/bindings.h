/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads to make the crate "bindings_ext": the C interfaces that the
 * kernel crate's own bindings leave out. rust/bindings/parameters chooses from it.
 */
#include <linux/idr.h>
#include <linux/virtio.h>
#include <linux/virtio_anchor.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <uapi/linux/virtio_blk.h>
#include <uapi/linux/virtio_config.h>
#include <uapi/linux/virtio_ids.h>
#include <uapi/linux/virtio_pci.h>
#include <uapi/linux/virtio_ring.h>
#include "../helpers/helpers.h"
#include "blk_mq.h"
#include "../helpers/pci.h"

/* Macros that bindgen cannot evaluate. */
static const gfp_t RUST_EXT_IDA_FLAGS = IDA_INIT_FLAGS;

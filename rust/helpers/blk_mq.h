/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inline functions and loops of the block layer as real functions, for the crate
 * "blk_mq". A request costs few calls: its data ranges come in arrays.
 */
#ifndef _RUST_EXT_BLK_MQ_H
#define _RUST_EXT_BLK_MQ_H

#include <linux/blk-mq.h>
#include <linux/dma-mapping.h>
#include <linux/idr.h>
#include <linux/mempool.h>

struct hd_geometry;

/* A contiguous range of a request's data, as a device sees it. */
struct rust_ext_blk_range {
	u64 addr;
	u32 len;
};

/* Where a walk over the data of a request has come to. */
struct rust_ext_blk_walk {
	struct bio *bio;
	const struct bio_vec *bvecs;
	struct bvec_iter iter;
};

/* What undoes the DMA mapping of a request's data. */
struct rust_ext_blk_mapping {
	struct dma_iova_state iova;
	u32 nr_ranges;
	u32 p2pdma_type;
};

/* What became of a request that was offered to a completion batch. */
enum rust_ext_blk_batched {
	RUST_EXT_BLK_BATCH_REFUSED,	/* the caller completes it */
	RUST_EXT_BLK_BATCH_TAKEN,	/* it ends with the batch */
	RUST_EXT_BLK_BATCH_REMOTE,	/* ->complete() runs for it elsewhere */
};

unsigned int rust_ext_blk_ranges_start(struct request *rq,
				       struct rust_ext_blk_walk *walk,
				       struct rust_ext_blk_range *ranges,
				       unsigned int max);
unsigned int rust_ext_blk_ranges_next(struct request *rq,
				      struct rust_ext_blk_walk *walk,
				      struct rust_ext_blk_range *ranges,
				      unsigned int max);

blk_status_t rust_ext_blk_dma_map(struct request *rq, struct device *dev,
				  struct rust_ext_blk_mapping *mapping,
				  struct rust_ext_blk_range *ranges,
				  unsigned int max);
void rust_ext_blk_dma_unmap(struct request *rq, struct device *dev,
			    struct rust_ext_blk_mapping *mapping,
			    struct rust_ext_blk_range *ranges);
size_t rust_ext_blk_dma_max_mapping_size(struct device *dev);
struct mempool *rust_ext_blk_range_pool_create(unsigned int nr_ranges);
struct rust_ext_blk_range *rust_ext_blk_range_pool_alloc(struct mempool *pool);

void rust_ext_blk_set_payload(struct request *rq, void *buf, unsigned int len);
void rust_ext_blk_free_payload(struct request *rq);

enum rust_ext_blk_batched rust_ext_blk_batch_add(struct request *rq,
						 struct io_comp_batch *iob,
						 bool is_error);
phys_addr_t rust_ext_blk_virt_to_phys(const void *virt);
bool rust_ext_blk_should_fake_timeout(struct request *rq);

unsigned int rust_ext_blk_freeze_queue(struct request_queue *q);
void rust_ext_blk_unfreeze_queue(struct request_queue *q, unsigned int memflags);
void rust_ext_blk_limits_start_update(struct request_queue *q,
				      struct queue_limits *lim);
void rust_ext_blk_limits_cancel_update(struct request_queue *q);

unsigned int rust_ext_blk_disk_refs(struct gendisk *disk);
void rust_ext_blk_set_geometry(struct hd_geometry *geo, u16 cylinders, u8 heads,
			       u8 sectors);


#endif

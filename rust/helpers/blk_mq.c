// SPDX-License-Identifier: GPL-2.0
/* Inline functions and loops of the block layer as real functions; see blk_mq.h. */

#include <linux/blk-mq-dma.h>
#include <linux/blkdev.h>
#include <linux/hdreg.h>
#include <linux/io.h>
#include <xen/xen.h>

#include "blk_mq.h"

/* Points @walk at the first bvec of the data of @rq; at nothing if there is none. */
static void walk_init(struct request *rq, struct rust_ext_blk_walk *walk)
{
	if (rq->rq_flags & RQF_SPECIAL_PAYLOAD) {
		walk->bio = NULL;
		walk->bvecs = &rq->special_vec;
		walk->iter = (struct bvec_iter) {
			.bi_size = rq->special_vec.bv_len,
		};
	} else if (bio_has_data(rq->bio)) {
		walk->bio = rq->bio;
		walk->bvecs = rq->bio->bi_io_vec;
		walk->iter = rq->bio->bi_iter;
	} else {
		walk->bio = NULL;
		walk->bvecs = NULL;
		walk->iter = (struct bvec_iter) { };
	}
}

/* Steps over bios that have been used up; false at the end of the data. */
static __always_inline bool walk_has_data(struct rust_ext_blk_walk *walk)
{
	while (!walk->iter.bi_size) {
		if (!walk->bio || !walk->bio->bi_next)
			return false;
		walk->bio = walk->bio->bi_next;
		walk->bvecs = walk->bio->bi_io_vec;
		walk->iter = walk->bio->bi_iter;
	}
	return true;
}

/* How long a segment that starts at @addr may be. */
static __always_inline unsigned long segment_room(const struct queue_limits *lim,
						  phys_addr_t addr)
{
	unsigned long to_boundary = lim->seg_boundary_mask -
				    (lim->seg_boundary_mask & addr);

	/* Add one last: the mask may be all ones. */
	return min(to_boundary, (unsigned long)lim->max_segment_size - 1) + 1;
}

/* Adjacent addresses may belong to different machine frames or shadow pages. */
static __always_inline bool may_merge(void)
{
	return !IS_ENABLED(CONFIG_KMSAN) && !xen_domain();
}

/**
 * rust_ext_blk_ranges_next() - the next physical ranges of a request's data
 * @rq: a request that the driver owns
 * @walk: where the walk has come to
 * @ranges: array to fill
 * @max: number of entries of @ranges
 *
 * A range respects the queue's segment limits. Over a whole walk there are never
 * more ranges than the block layer counted segments: it counts each bvec by
 * itself, and here neighbours only ever grow together.
 *
 * Return: how many entries were filled; fewer than @max at the end of the data.
 */
unsigned int rust_ext_blk_ranges_next(struct request *rq,
				      struct rust_ext_blk_walk *walk,
				      struct rust_ext_blk_range *ranges,
				      unsigned int max)
{
	const struct queue_limits *lim = &rq->q->limits;
	unsigned long room = 0;
	phys_addr_t end = 0;
	unsigned int n = 0;

	while (walk_has_data(walk)) {
		struct bio_vec bv = mp_bvec_iter_bvec(walk->bvecs, walk->iter);
		phys_addr_t addr = bvec_phys(&bv);
		unsigned int len;

		if (room && addr == end && may_merge()) {
			len = min_t(unsigned long, bv.bv_len, room);
			ranges[n - 1].len += len;
		} else {
			if (n == max)
				break;
			room = segment_room(lim, addr);
			len = min_t(unsigned long, bv.bv_len, room);
			ranges[n].addr = addr;
			ranges[n].len = len;
			n++;
		}
		room -= len;
		end = addr + len;
		bvec_iter_advance_single(walk->bvecs, &walk->iter, len);
	}
	return n;
}

/*
 * The first physical ranges of a request's data; see rust_ext_blk_ranges_next().
 * Most requests have a single segment, for which no walk is needed.
 */
unsigned int rust_ext_blk_ranges_start(struct request *rq,
				       struct rust_ext_blk_walk *walk,
				       struct rust_ext_blk_range *ranges,
				       unsigned int max)
{
	if (rq->nr_phys_segments == 1 && bio_has_data(rq->bio)) {
		struct bio_vec bv = req_bvec(rq);

		/* Else the segment goes on in the next bvec. */
		if (bv.bv_len == blk_rq_bytes(rq)) {
			ranges[0].addr = bvec_phys(&bv);
			ranges[0].len = bv.bv_len;
			return 1;
		}
	}
	walk_init(rq, walk);
	return rust_ext_blk_ranges_next(rq, walk, ranges, max);
}

static unsigned long mapping_attrs(const struct rust_ext_blk_mapping *mapping)
{
	return mapping->p2pdma_type == PCI_P2PDMA_MAP_THRU_HOST_BRIDGE ?
	       DMA_ATTR_MMIO : 0;
}

/**
 * rust_ext_blk_dma_map() - map the data of a request for a device
 * @rq: a request that the driver owns
 * @dev: the device that will access the data
 * @mapping: to be kept for rust_ext_blk_dma_unmap()
 * @ranges: array to fill, to be kept as well
 * @max: number of entries of @ranges
 *
 * All of the data is mapped, or none of it. Without data there are no ranges.
 *
 * Return: BLK_STS_OK, or BLK_STS_RESOURCE if the mapping may work later.
 */
blk_status_t rust_ext_blk_dma_map(struct request *rq, struct device *dev,
				  struct rust_ext_blk_mapping *mapping,
				  struct rust_ext_blk_range *ranges,
				  unsigned int max)
{
	struct blk_dma_iter iter;
	unsigned int n = 0;

	memset(mapping, 0, sizeof(*mapping));
	if (!(rq->rq_flags & RQF_SPECIAL_PAYLOAD) && !bio_has_data(rq->bio))
		return BLK_STS_OK;

	if (!blk_rq_dma_map_iter_start(rq, dev, &mapping->iova, &iter))
		return iter.status;
	mapping->p2pdma_type = iter.p2pdma.map;

	do {
		if (WARN_ON_ONCE(n == max)) {
			/* The last range has no entry yet, so undo it by itself. */
			if (iter.p2pdma.map != PCI_P2PDMA_MAP_BUS_ADDR)
				dma_unmap_phys(dev, iter.addr, iter.len, rq_dma_dir(rq),
					       mapping_attrs(mapping));
			iter.status = BLK_STS_IOERR;
			break;
		}
		ranges[n].addr = iter.addr;
		ranges[n].len = iter.len;
		n++;
	} while (blk_rq_dma_map_iter_next(rq, dev, &iter));

	mapping->nr_ranges = n;
	if (unlikely(iter.status != BLK_STS_OK))
		rust_ext_blk_dma_unmap(rq, dev, mapping, ranges);
	return iter.status;
}

/* Undoes rust_ext_blk_dma_map(); @rq has the operation that it had there. */
void rust_ext_blk_dma_unmap(struct request *rq, struct device *dev,
			    struct rust_ext_blk_mapping *mapping,
			    struct rust_ext_blk_range *ranges)
{
	unsigned int i;

	/* A mapping through one IOVA range has a single entry, of its length. */
	if (mapping->nr_ranges &&
	    !blk_rq_dma_unmap(rq, dev, &mapping->iova, ranges[0].len,
			      mapping->p2pdma_type)) {
		for (i = 0; i < mapping->nr_ranges; i++)
			dma_unmap_phys(dev, ranges[i].addr, ranges[i].len,
				       rq_dma_dir(rq), mapping_attrs(mapping));
	}
	mapping->nr_ranges = 0;
}

size_t rust_ext_blk_dma_max_mapping_size(struct device *dev)
{
	return dma_max_mapping_size(dev);
}

/* One array is kept in reserve, so that I/O that frees memory always proceeds. */
struct mempool *rust_ext_blk_range_pool_create(unsigned int nr_ranges)
{
	return mempool_create_kmalloc_pool(1, size_mul(nr_ranges,
						       sizeof(struct rust_ext_blk_range)));
}

struct rust_ext_blk_range *rust_ext_blk_range_pool_alloc(struct mempool *pool)
{
	return mempool_alloc(pool, GFP_ATOMIC | __GFP_NOWARN);
}

/* Makes @buf, from kmalloc(), the data of @rq. */
void rust_ext_blk_set_payload(struct request *rq, void *buf, unsigned int len)
{
	bvec_set_virt(&rq->special_vec, buf, len);
	rq->rq_flags |= RQF_SPECIAL_PAYLOAD;
}

void rust_ext_blk_free_payload(struct request *rq)
{
	kfree(bvec_virt(&rq->special_vec));
	rq->rq_flags &= ~RQF_SPECIAL_PAYLOAD;
}

/* Completes @rq on the CPU where it belongs, or with the batch, or not at all. */
enum rust_ext_blk_batched rust_ext_blk_batch_add(struct request *rq,
						 struct io_comp_batch *iob,
						 bool is_error)
{
	if (blk_mq_complete_request_remote(rq))
		return RUST_EXT_BLK_BATCH_REMOTE;
	/* A batch ends with BLK_STS_OK, so no failed request may be in it. */
	if (!is_error &&
	    blk_mq_add_to_batch(rq, iob, false, blk_mq_end_request_batch))
		return RUST_EXT_BLK_BATCH_TAKEN;
	return RUST_EXT_BLK_BATCH_REFUSED;
}

phys_addr_t rust_ext_blk_virt_to_phys(const void *virt)
{
	return virt_to_phys((void *)virt);
}

bool rust_ext_blk_should_fake_timeout(struct request *rq)
{
	return blk_should_fake_timeout(rq->q);
}

unsigned int rust_ext_blk_freeze_queue(struct request_queue *q)
{
	return blk_mq_freeze_queue(q);
}

void rust_ext_blk_unfreeze_queue(struct request_queue *q, unsigned int memflags)
{
	blk_mq_unfreeze_queue(q, memflags);
}

/* Returns with the lock held that one of the two ends of an update releases. */
void rust_ext_blk_limits_start_update(struct request_queue *q,
				      struct queue_limits *lim)
{
	*lim = queue_limits_start_update(q);
}

void rust_ext_blk_limits_cancel_update(struct request_queue *q)
{
	queue_limits_cancel_update(q);
}

unsigned int rust_ext_blk_disk_refs(struct gendisk *disk)
{
	return kref_read(&disk_to_dev(disk)->kobj.kref);
}

void rust_ext_blk_set_geometry(struct hd_geometry *geo, u16 cylinders, u8 heads,
			       u8 sectors)
{
	geo->cylinders = cylinders;
	geo->heads = heads;
	geo->sectors = sectors;
}

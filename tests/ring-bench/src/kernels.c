// SPDX-License-Identifier: GPL-2.0
/*
 * The ring of the kernel's C stack, as tools/virtio in the kernel's source makes it
 * run in user space, behind functions that Rust can call. The source is that of the
 * machine's cache; nothing of it is here.
 */
#include <stdlib.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

/* The shims of tools/virtio want these. */
void *__kmalloc_fake, *__kfree_ignore_start, *__kfree_ignore_end;

#define MAX_RANGES 16

struct kernels_ring {
	struct virtio_device vdev;
	struct virtqueue *vq;
	struct vring vring;
};

static bool notify(struct virtqueue *vq)
{
	return true;
}

static void callback(struct virtqueue *vq)
{
}

/* Puts a queue into memory that is zeroed and aligned to a page. */
struct kernels_ring *kernels_ring_new(void *memory, unsigned int size, bool is_indirect)
{
	struct kernels_ring *ring = calloc(1, sizeof(*ring));

	if (!ring)
		return NULL;
	INIT_LIST_HEAD(&ring->vdev.vqs);
	spin_lock_init(&ring->vdev.vqs_list_lock);
	__virtio_set_bit(&ring->vdev, VIRTIO_F_VERSION_1);
	__virtio_set_bit(&ring->vdev, VIRTIO_RING_F_EVENT_IDX);
	if (is_indirect)
		__virtio_set_bit(&ring->vdev, VIRTIO_RING_F_INDIRECT_DESC);
	vring_init(&ring->vring, size, memory, 4096);
	ring->vq = vring_new_virtqueue(0, size, 4096, &ring->vdev, true, false,
				       memory, notify, callback, "ring");
	if (!ring->vq) {
		free(ring);
		return NULL;
	}
	return ring;
}

void *kernels_ring_avail(const struct kernels_ring *ring)
{
	return ring->vring.avail;
}

void *kernels_ring_used(const struct kernels_ring *ring)
{
	return ring->vring.used;
}

/* Adds a buffer of some ranges, the last of which is for the device to write. */
bool kernels_ring_add(struct kernels_ring *ring, char *memory, unsigned int len, unsigned int count)
{
	struct scatterlist out[MAX_RANGES], in;
	struct scatterlist *sgs[] = { out, &in };
	unsigned int i;

	if (count < 1 || count > MAX_RANGES)
		return false;
	if (count == 1) {
		sg_init_one(&in, memory, len);
		return !virtqueue_add_inbuf(ring->vq, &in, 1, ring, GFP_ATOMIC);
	}
	sg_init_table(out, count - 1);
	for (i = 0; i < count - 1; i++)
		sg_set_buf(&out[i], memory + (size_t)i * len, len);
	sg_init_one(&in, memory + (size_t)i * len, len);
	return !virtqueue_add_sgs(ring->vq, sgs, 1, 1, ring, GFP_ATOMIC);
}

bool kernels_ring_kick_prepare(struct kernels_ring *ring)
{
	return virtqueue_kick_prepare(ring->vq);
}

/* Takes a buffer back; returns how much of it was written, 0 for none. */
unsigned int kernels_ring_get(struct kernels_ring *ring)
{
	unsigned int len;

	return virtqueue_get_buf(ring->vq, &len) ? len : 0;
}

void kernels_ring_free(struct kernels_ring *ring)
{
	vring_del_virtqueue(ring->vq);
	free(ring);
}

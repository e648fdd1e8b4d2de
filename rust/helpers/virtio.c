// SPDX-License-Identifier: GPL-2.0
/* The list of a device's queues, which virtio_device_for_each_vq() walks. */

#include <linux/export.h>
#include <linux/list.h>
#include <linux/virtio.h>

#include "helpers.h"

void rust_ext_virtio_init_queues(struct virtio_device *vdev)
{
	spin_lock_init(&vdev->vqs_list_lock);
	INIT_LIST_HEAD(&vdev->vqs);
}
EXPORT_SYMBOL_GPL(rust_ext_virtio_init_queues);

void rust_ext_virtio_add_queue(struct virtio_device *vdev, struct virtqueue *vq)
{
	spin_lock(&vdev->vqs_list_lock);
	list_add_tail(&vq->list, &vdev->vqs);
	spin_unlock(&vdev->vqs_list_lock);
}
EXPORT_SYMBOL_GPL(rust_ext_virtio_add_queue);

/* A queue that was never added has a list head of zeroes. */
void rust_ext_virtio_remove_queue(struct virtio_device *vdev, struct virtqueue *vq)
{
	spin_lock(&vdev->vqs_list_lock);
	if (vq->list.next)
		list_del(&vq->list);
	spin_unlock(&vdev->vqs_list_lock);
}
EXPORT_SYMBOL_GPL(rust_ext_virtio_remove_queue);

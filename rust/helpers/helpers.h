/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inline functions and macros of the kernel as real functions, for Rust: what
 * rust/helpers/ of the kernel does for the kernel crate.
 */
#ifndef _RUST_EXT_HELPERS_H
#define _RUST_EXT_HELPERS_H

#include <linux/gfp_types.h>
#include <linux/spinlock_types.h>
#include <linux/types.h>

void rust_ext_spin_lock_init(spinlock_t *lock);
unsigned long rust_ext_spin_lock_irqsave(spinlock_t *lock);
void rust_ext_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags);

void rust_ext_synchronize_rcu_tasks(void);

void *rust_ext_alloc_pages_exact(size_t size, gfp_t gfp);
void rust_ext_free_pages_exact(void *virt, size_t size);
phys_addr_t rust_ext_virt_to_phys(const void *virt);

struct delayed_work;
struct dentry;
struct device;
struct device_driver;
struct device_node;
struct ida;
struct ratelimit_state;
struct seq_file;
struct work_struct;

/* The data of a file in debugfs begins with this. */
struct rust_ext_debugfs_file {
	int (*show)(struct rust_ext_debugfs_file *file, struct seq_file *m);
	int (*store)(struct rust_ext_debugfs_file *file, const char __user *text, size_t len);
};

struct dentry *rust_ext_debugfs_create_dir(const char *name, struct dentry *parent);
struct dentry *rust_ext_debugfs_create_file(const char *name, umode_t mode, struct dentry *parent,
					    struct rust_ext_debugfs_file *file);
void rust_ext_debugfs_remove(struct dentry *dentry);

void rust_ext_device_lock(struct device *dev);
bool rust_ext_device_trylock(struct device *dev);
int rust_ext_device_match_driver_override(struct device *dev, const struct device_driver *drv);
int rust_ext_restart_syscall(void);
void rust_ext_device_unlock(struct device *dev);

struct device_node *rust_ext_of_get_available_child(struct device *dev, const char *compatible);
void rust_ext_of_node_put(struct device_node *node);

void rust_ext_ida_init_once(struct ida *ida, u32 *ready);

void rust_ext_ratelimit_init(struct ratelimit_state *state);

int rust_ext_workqueue_create(void);
void rust_ext_workqueue_destroy(void);
void rust_ext_init_work(struct work_struct *work, void (*func)(struct work_struct *work));
bool rust_ext_schedule_work(struct work_struct *work);
void rust_ext_init_delayed_work(struct delayed_work *work, void (*func)(struct work_struct *work));
bool rust_ext_schedule_delayed_work(struct delayed_work *work, unsigned int msecs);

struct virtio_device;
struct virtqueue;

void rust_ext_virtio_init_queues(struct virtio_device *vdev);
void rust_ext_virtio_add_queue(struct virtio_device *vdev, struct virtqueue *vq);
void rust_ext_virtio_remove_queue(struct virtio_device *vdev, struct virtqueue *vq);

void rust_ext_virt_mb(void);
void rust_ext_virt_rmb(void);
void rust_ext_virt_wmb(void);

#endif

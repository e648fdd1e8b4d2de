// SPDX-License-Identifier: GPL-2.0
/*
 * Files in debugfs whose operations belong to this module, so that it stays while
 * one of them is open. Those of kernel::debugfs have no owner.
 */

#include <linux/debugfs.h>
#include <linux/export.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include "helpers.h"

static int show(struct seq_file *m, void *unused)
{
	struct rust_ext_debugfs_file *file = m->private;

	return file->show(file, m);
}

static int open(struct inode *inode, struct file *file)
{
	return single_open(file, show, inode->i_private);
}

static ssize_t write(struct file *file, const char __user *text, size_t len, loff_t *pos)
{
	struct seq_file *m = file->private_data;
	struct rust_ext_debugfs_file *this = m->private;
	int error = this->store(this, text, len);

	return error ? error : len;
}

static const struct file_operations operations = {
	.owner = THIS_MODULE,
	.open = open,
	.read = seq_read,
	.write = write,
	.llseek = seq_lseek,
	.release = single_release,
};

/* What these return may be an error, with which the others do nothing. */

struct dentry *rust_ext_debugfs_create_dir(const char *name, struct dentry *parent)
{
	return debugfs_create_dir(name, parent);
}
EXPORT_SYMBOL_GPL(rust_ext_debugfs_create_dir);

struct dentry *rust_ext_debugfs_create_file(const char *name, umode_t mode, struct dentry *parent,
					    struct rust_ext_debugfs_file *file)
{
	return debugfs_create_file(name, mode, parent, file, &operations);
}
EXPORT_SYMBOL_GPL(rust_ext_debugfs_create_file);

void rust_ext_debugfs_remove(struct dentry *dentry)
{
	debugfs_remove(dentry);
}
EXPORT_SYMBOL_GPL(rust_ext_debugfs_remove);

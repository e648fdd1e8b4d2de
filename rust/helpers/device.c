// SPDX-License-Identifier: GPL-2.0
/* The lock of the driver core, and its word on which driver a device shall have. */

#include <linux/device.h>
#include <linux/export.h>
#include <linux/sched/signal.h>

#include "helpers.h"

void rust_ext_device_lock(struct device *dev)
{
	device_lock(dev);
}
EXPORT_SYMBOL_GPL(rust_ext_device_lock);

bool rust_ext_device_trylock(struct device *dev)
{
	return device_trylock(dev);
}
EXPORT_SYMBOL_GPL(rust_ext_device_trylock);

int rust_ext_device_match_driver_override(struct device *dev, const struct device_driver *drv)
{
	return device_match_driver_override(dev, drv);
}
EXPORT_SYMBOL_GPL(rust_ext_device_match_driver_override);

int rust_ext_restart_syscall(void)
{
	return restart_syscall();
}
EXPORT_SYMBOL_GPL(rust_ext_restart_syscall);

void rust_ext_device_unlock(struct device *dev)
{
	device_unlock(dev);
}
EXPORT_SYMBOL_GPL(rust_ext_device_unlock);

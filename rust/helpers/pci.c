// SPDX-License-Identifier: GPL-2.0
/*
 * PCI functions that are inline or macros in some configuration or on some
 * architecture.
 */

#include <linux/io.h>

#include "pci.h"

unsigned long rust_ext_pci_resource_flags(struct pci_dev *pdev, int bar)
{
	return pci_resource_flags(pdev, bar);
}

int rust_ext_pci_alloc_irq_vectors_affinity(struct pci_dev *pdev,
					    unsigned int min_vecs,
					    unsigned int max_vecs,
					    unsigned int flags,
					    struct irq_affinity *affinity)
{
	return pci_alloc_irq_vectors_affinity(pdev, min_vecs, max_vecs, flags,
					      affinity);
}

const struct cpumask *rust_ext_pci_irq_get_affinity(struct pci_dev *pdev, int nr)
{
	return pci_irq_get_affinity(pdev, nr);
}

void rust_ext_pci_free_irq_vectors(struct pci_dev *pdev)
{
	pci_free_irq_vectors(pdev);
}

int rust_ext_pci_irq_vector(struct pci_dev *pdev, unsigned int nr)
{
	return pci_irq_vector(pdev, nr);
}

bool rust_ext_pci_has_irq_vectors(struct pci_dev *pdev)
{
	return pci_dev_msi_enabled(pdev);
}

int rust_ext_irq_set_affinity_and_hint(unsigned int irq,
				       const struct cpumask *mask)
{
	return irq_set_affinity_and_hint(irq, mask);
}

u8 rust_ext_ioread8(const void __iomem *addr)
{
	return ioread8(addr);
}

u16 rust_ext_ioread16(const void __iomem *addr)
{
	return ioread16(addr);
}

u32 rust_ext_ioread32(const void __iomem *addr)
{
	return ioread32(addr);
}

void rust_ext_iowrite8(u8 value, void __iomem *addr)
{
	iowrite8(value, addr);
}

void rust_ext_iowrite16(u16 value, void __iomem *addr)
{
	iowrite16(value, addr);
}

void rust_ext_iowrite32(u32 value, void __iomem *addr)
{
	iowrite32(value, addr);
}

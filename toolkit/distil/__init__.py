"""Knowledge distillation in torch: a smaller text-to-semantic model learns from a larger one."""

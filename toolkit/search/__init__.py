"""A budget instead of settings: searches the knobs recipes have for the best version that fits a device."""

"""Damaged TFLite files, for everything that opens one."""

"""A convolutional text-to-semantic student that says all codes of a sentence at once."""

"""Views: random versions of an image, drawn in batches on the device."""

"""Files on their way in and out: downloads, resumed ones included, and uploads that are read from pipes."""

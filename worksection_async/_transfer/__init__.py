"""Downloads (resumable), their destination on the disk, and the spooling of uploads."""

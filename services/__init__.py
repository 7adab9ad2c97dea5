"""What does it: a folder is a process, a file beside the folders is shared by processes."""

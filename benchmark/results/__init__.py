"""Records on disk: the store that the driver writes, the frame that readers get."""

"""Token stores: a corpus as token ids on disk, each document tokenized once."""

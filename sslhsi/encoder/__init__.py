"""A backbone at work: loaded, applied to whole scenes, saved, exported."""

"""Pages, tables and pictures of what was trained and measured."""

"""What hopping.py consists of: both ends of an edge, which edges are rare, paths over them, and their words."""

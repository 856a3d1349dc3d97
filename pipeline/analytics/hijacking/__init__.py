"""What hyperjacking.py consists of: inventories against one another, changes that no event explains, evidence with decay, and its words."""

"""The chain of one section: from what was read to a published result, stage by stage."""

"""Headers and names: which sequence a series is and in which plane, with evidence on both sides."""

"""Archives: which series a source of volumes holds, and what is known of each."""

"""What is done with a finished model: predict, saliency maps, embed, export, other collections."""

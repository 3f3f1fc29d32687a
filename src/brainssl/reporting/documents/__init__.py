"""What is written beside the report: model card, exports for papers, pages of explanations."""

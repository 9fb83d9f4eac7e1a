"""What a person sees: one Gradio Blocks app per page. Never imports ray, torch or a stage."""

"""Makes this folder importable, for what tests share (`openai_server`)."""

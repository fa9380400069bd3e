"""Languages, lexicon, translation task, prompts, and the tokens of words."""

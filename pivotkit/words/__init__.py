"""Languages, lexicon, translation task, prompts and token sets."""

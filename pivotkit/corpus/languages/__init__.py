"""Which languages each document of a corpus is in: told by field or text, kept as a table beside the corpus."""

from pivotkit.corpus.languages.document_languages import document_languages
from pivotkit.corpus.languages.language_table import LanguageTable

__all__ = ["LanguageTable", "document_languages"]

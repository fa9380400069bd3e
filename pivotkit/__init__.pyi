from pivotkit.attribution import attribute as attribute
from pivotkit.attribution.pivot_agreement import pivot_agreement as pivot_agreement
from pivotkit.attribution.pivot_mass import pivot_mass as pivot_mass
from pivotkit.causal.causal_test import causal_test as causal_test
from pivotkit.causal.effects import causal_effects as causal_effects
from pivotkit.corpus import Counts as Counts
from pivotkit.corpus import Strata as Strata
from pivotkit.corpus import TokenFiles as TokenFiles
from pivotkit.corpus import TokenWatchList as TokenWatchList
from pivotkit.corpus import WatchList as WatchList
from pivotkit.corpus import count as count
from pivotkit.corpus import tokenize as tokenize
from pivotkit.corpus.languages import LanguageTable as LanguageTable
from pivotkit.corpus.languages import document_languages as document_languages
from pivotkit.corpus.token_graph import token_graph as token_graph
from pivotkit.kernels import PackedUnembedding as PackedUnembedding
from pivotkit.kernels import unembed as unembed
from pivotkit.lens.behavior import classify as classify
from pivotkit.lens.contrast_means import contrast_means as contrast_means
from pivotkit.lens.fitted import fit_lens as fit_lens
from pivotkit.lens.model import load_model as load_model
from pivotkit.lens.model.head import LensHead as LensHead
from pivotkit.lens.score import score as score
from pivotkit.lens.trace import trace as trace
from pivotkit.pivots import find_pivots as find_pivots
from pivotkit.pivots import hub_pivots as hub_pivots
from pivotkit.pivots.word_pivots import word_pivots as word_pivots
from pivotkit.report import write_comparison as write_comparison
from pivotkit.report import write_report as write_report
from pivotkit.selection import score_documents as score_documents
from pivotkit.selection import select as select
from pivotkit.selection import write_selection as write_selection
from pivotkit.words.lexicon import read_lexicon as read_lexicon
from pivotkit.words.task import build_task as build_task

PUBLIC: dict[str, str]
__version__: str

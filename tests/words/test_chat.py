"""The task as a conversation, in the words of chat templates of several families."""

from __future__ import annotations

import copy

import pytest
from transformers import AutoTokenizer

from pivotkit.lens.model.encoding import encode_items
from pivotkit.words.prompts import TESTBED
from pivotkit.words.task import build_task, task_prompt

CHATML = (
    "{% for turn in messages %}<|im_start|>{{ turn['role'] }}\n{{ turn['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As Gemma's: the token of the beginning, turns that must alternate, contents without blanks around them.
ALTERNATING = (
    "<s>{% for turn in messages %}{% if (turn['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "<turn>{{ 'model' if turn['role'] == 'assistant' else 'user' }}\n{{ turn['content'] | trim }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}"
)
# As Llama 2's: blanks around contents, and one before the answer.
SPACED = (
    "{% for turn in messages %}{% if turn['role'] == 'user' %}[INST] {{ turn['content'] }} [/INST]"
    "{% else %} {{ turn['content'] }} </s>{% endif %}{% endfor %}"
)
# As Qwen 3's: a thought before the last answer, which a prompt holds only where thinking is off.
THINKING = (
    "{% for turn in messages %}<{{ turn['role'] }}>"
    "{% if loop.last and turn['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    "{{ turn['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


@pytest.fixture
def talks(tokenizer):
    """A function that gives the tokenizer a chat template."""

    def made(template):
        own = copy.deepcopy(tokenizer)
        own.chat_template = template
        return own

    return made


def items_of(lexicon, tokenizer, **more):
    small = {"limit": 2, "shots": 2, "contexts": 2, "distractors": 3, "chat": True, **more}
    return build_task(lexicon, ["en-fr"], tokenizer=tokenizer, **small)


def shown(context: str) -> list[str]:
    return [line for line in context.splitlines() if line.startswith(("English: ", "French:"))]


@pytest.mark.parametrize("template", [CHATML, ALTERNATING, SPACED])
def test_a_prompt_is_what_the_chat_template_writes(lexicon, talks, template):
    own = talks(template)
    plain = build_task(lexicon, ["en-fr"], limit=2, shots=2, contexts=2, distractors=3).to_pylist()
    for row, bare in zip(items_of(lexicon, own).to_pylist(), plain, strict=True):
        assert (row["source"], row["distractors"]) == (bare["source"], bare["distractors"])
        turns = []
        for shot in bare["contexts"][0].split("\n\n")[1:-1]:
            source, target = shot.split("\nFrench: ")
            turns += [{"role": "user", "content": source + "\nFrench:"}, {"role": "assistant", "content": target}]
        turns.append({"role": "user", "content": f"English: {row['source']}\nFrench:"})
        turns[0]["content"] = "Please translate words from English to French.\n\n" + turns[0]["content"]
        assert row["prompt"] == own.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


@pytest.mark.parametrize("template", [CHATML, ALTERNATING, SPACED])
def test_a_context_and_a_question_make_the_prompt(lexicon, talks, template):
    items = items_of(lexicon, talks(template))
    prompt = task_prompt(items)
    for row in items.to_pylist():
        assert row["prompt"] == row["contexts"][0] + prompt.ask("English", "French", row["source"])
        assert len(set(row["contexts"])) == 2


def test_the_answer_follows_as_the_template_has_it(lexicon, talks):
    assert task_prompt(items_of(lexicon, talks(CHATML))).answer == "{target}"
    assert task_prompt(items_of(lexicon, talks(SPACED))).answer == " {target}"
    assert not task_prompt(items_of(lexicon, talks(CHATML))).special_tokens
    assert task_prompt(build_task(lexicon, ["en-fr"], shots=1)).special_tokens


def test_without_shots_the_instruction_stands_before_the_question(lexicon, talks):
    row = items_of(lexicon, talks(CHATML), shots=0, limit=1, template="Say it in French.\n{shots}{source} = {target}")
    source = row["source"][0].as_py()
    assert row["prompt"][0].as_py() == (
        f"<|im_start|>user\nSay it in French.\n{source} =<|im_end|>\n<|im_start|>assistant\n"
    )


def test_braces_of_a_chat_template_are_text(lexicon, talks):
    items = items_of(lexicon, talks(CHATML.replace("<|im_end|>", "{{ '{end}' }}")))
    assert items["prompt"][0].as_py().endswith("{end}\n<|im_start|>assistant\n")
    assert task_prompt(items).ask("English", "French", "x").endswith("x\nFrench:{end}\n<|im_start|>assistant\n")


def test_a_template_takes_variables_of_its_own(lexicon, talks):
    with pytest.raises(ValueError, match=r"puts the answer right behind a prompt; got '<think>.*' between"):
        items_of(lexicon, talks(THINKING))
    items = items_of(lexicon, talks(THINKING), chat={"enable_thinking": False})
    assert items["prompt"][0].as_py().endswith("<assistant><think>\n\n</think>\n\n")


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (None, "have a chat template for chat; got one without"),
        (CHATML + "{% if add_generation_prompt %}Sure: {% endif %}",
         "ends a prompt where the answer begins; got 'Sure: ' behind that place"),
        (CHATML.partition("{% if add")[0],
         r"puts the answer right behind a prompt; got '<\|im_start\|>assistant\\n' between"),
        ("{{ raise_exception('no system, no user') }}", "takes turns of user and assistant; got 'no system, no user'"),
        (CHATML.replace("turn['content'] }}", "turn['content'] | upper }}"), "shows a turn of the user once and as it"),
        ("{{ messages | length }}" + CHATML, "writes a conversation alike with and without"),
        (CHATML.replace("turn['content'] }}", "turn['content'] }}{{ messages[0]['content'] | length }}"),
         "ends every question alike; got another end than before"),
    ],
)  # fmt: skip
def test_a_chat_template_that_does_not_fit_is_refused_by_name(lexicon, talks, template, problem):
    with pytest.raises(ValueError, match=f"^build_task: tokenizer must .*(?:{problem})"):
        items_of(lexicon, talks(template))


def test_a_chat_needs_a_tokenizer_and_one_wording(lexicon, tokenizer, talks):
    with pytest.raises(ValueError, match=r"^build_task: chat must come with a tokenizer, .*; got none$"):
        items_of(lexicon, None)
    with pytest.raises(TypeError, match=r"^build_task: tokenizer must be a Hugging Face tokenizer or None; got str$"):
        items_of(lexicon, "gemma")
    with pytest.raises(TypeError, match=r"^build_task: chat must have names of variables that are str; got int$"):
        items_of(lexicon, talks(CHATML), chat={1: True})
    with pytest.raises(ValueError, match=r"^build_task: template must be given without a prompt; got both$"):
        build_task(
            lexicon,
            ["en-fr"],
            shots=1,
            prompt=TESTBED,
            template="{source}{target}",
        )


@pytest.mark.parametrize("name", ["smollm2-135m", "qwen25coder-0.5b"])
def test_real_chat_templates_are_read_as_they_are(lexicon, real_models, name):
    if not (real_models / name).is_dir():
        pytest.skip(f"the real model {name} is absent")
    own = AutoTokenizer.from_pretrained(real_models / name)
    items = items_of(lexicon, own, shots=1, limit=1, contexts=1)
    prompt = items["prompt"][0].as_py()
    shot, question = prompt.split("<|im_start|>user\n")[1:]
    turns = [shot.partition("<|im_end|>")[0], shot.partition("assistant\n")[2].partition("<|im_end|>")[0],
             question.partition("<|im_end|>")[0]]  # fmt: skip
    messages = [
        {"role": role, "content": turn} for role, turn in zip(("user", "assistant", "user"), turns, strict=True)
    ]
    assert prompt == own.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    [text] = encode_items(own, items)
    whole = own.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert list(text.ids[: text.answer_start]) == list(whole)

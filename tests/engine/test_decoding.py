"""The table decoder gives what the tokenizer gives, on any ids; another kind of tokenizer decodes by itself."""

from hypothesis import given, settings
from hypothesis import strategies as st


def test_any_ids_decode_as_the_tokenizer_decodes_them(processor):
    from medical_rl.engine.verl.tokens import byte_table, response_decoder

    tokenizer = processor.tokenizer
    assert byte_table(tokenizer), "a Qwen tokenizer is byte-level"
    decode = response_decoder(tokenizer)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.integers(0, len(tokenizer) + 9), max_size=60))
    def same(ids):
        assert decode(ids) == tokenizer.decode(ids, skip_special_tokens=True)

    same()


def test_an_added_token_that_is_text_is_decoded_by_the_tokenizer(processor):
    # Qwen2.5's <tool_call> is such a token: added, and not special.
    import copy

    from medical_rl.engine.verl.tokens import byte_table, response_decoder

    tokenizer = copy.deepcopy(processor.tokenizer)
    tokenizer.add_tokens(["<tool_call>"])
    number = tokenizer.convert_tokens_to_ids("<tool_call>")
    assert byte_table(tokenizer)[number] is None and byte_table(tokenizer)[5] is not None
    ids = [*tokenizer("yes ", add_special_tokens=False)["input_ids"], number, 5]
    assert response_decoder(tokenizer)(ids) == tokenizer.decode(ids, skip_special_tokens=True)
    assert "<tool_call>" in response_decoder(tokenizer)(ids)


def test_texts_of_many_languages_come_back(processor):
    from medical_rl.engine.verl.tokens import response_decoder

    decode = response_decoder(processor.tokenizer)
    for text in ("<think>größer</think> \\boxed{正常}", "ｙｅｓ\u200b 🙂\r\n", "a  b <|im_end|>"):
        ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert decode(ids) == processor.tokenizer.decode(ids, skip_special_tokens=True)


def test_a_tokenizer_that_is_not_byte_level_decodes_by_itself():
    from medical_rl.engine.verl.tokens import response_decoder

    class Plain:
        def decode(self, ids, skip_special_tokens):
            return f"{list(ids)} {skip_special_tokens}"

    assert response_decoder(Plain())([1, 2]) == "[1, 2] True"

"""Which ops a stock TensorFlow Serving binary has: facts read from its build files and from TensorFlow's releases.

A server links TensorFlow's own ops of its version, TF Text's `ops_lib` and the inference ops of TF Decision Forests;
no TF Addons, no tf-io. `NEWER` lists the ops of TensorFlow 2.21 that an older release lacks (wheels 2.13.1 to 2.21.0
compared; ops whose name begins with `Xla` are refused whatever the version).
"""

OLDEST, NEWEST = (2, 13), (2, 21)  # versions whose ops are known

NEWER = {  # first version that has the op
    (2, 14): """Conv SparseSegmentMeanGradV2 SparseSegmentSqrtNGradV2 SparseSegmentSumGradV2 TFRecordDatasetV2""",
    (2, 15): """DynamicEnqueueTPUEmbeddingRaggedTensorBatch FFTND IFFTND IRFFTND RFFTND""",
    (2, 16): """ConvertToCooTensor DatasetFingerprint GetMinibatchSplitsWithPhysicalReplica
        GetMinibatchesInCsrWithPhysicalReplica GlobalIterId ListSnapshotChunksDataset StoreMinibatchStatisticsInFdo
        TPUAnnotateTensorsWithDynamicShape TPUCopyWithDynamicShape""",
    (2, 17): """ConvertToListOfSparseCoreCooTensors ConvertToSparseCoreCsrWrappedCooTensor
        GetStatsFromListOfSparseCoreCooTensors GlobalShuffleDataset IndexFlatMapDataset IteratorGetModelProto
        SortListOfSparseCoreCooTensors WeightedFlatMapDataset""",
    (2, 18): """CheckPinned""",
    (2, 20): """DecodeWebP TPUDummyInput""",
    (2, 21): """DecodeJxl""",
}
FIRST_VERSION = {op: version for version, ops in NEWER.items() for op in ops.split()}

# TF Text in the server's `ops_lib`: 2.12.1 up to server 2.19, 2.20 from server 2.20.
_TEXT_OPS = """
    CaseFoldUTF8 ConstrainedSequence FastBertNormalize FastWordpieceTokenizeWithOffsets FindSourceOffsets
    MaxSpanningTree NormalizeUTF8 NormalizeUTF8WithOffsetsMap PhraseTokenize RegexSplitWithOffsets SentenceFragments
    SentenceFragmentsV2 SentencepieceDetokenizeOp SentencepieceIdToStringOp SentencepieceOp SentencepieceStringToIdOp
    SentencepieceTokenizeOp SentencepieceTokenizeWithOffsetsOp SentencepieceVocabSizeOp SplitMergeTokenizeWithOffsets
    TokenizerFromLogits UnicodeScriptTokenizeWithOffsets WhitespaceTokenizeWithOffsets WordpieceTokenizeWithOffsets
    TFText>BoiseTagsToOffsets TFText>ByteSplitByOffsets TFText>ByteSplitWithOffsets TFText>FastSentencepieceDetokenize
    TFText>FastSentencepieceTokenize TFText>FastWordpieceDetokenize TFText>NgramsStringJoin TFText>OffsetsToBoiseTags
    TFText>PhraseDetokenize TFText>WhitespaceTokenizeWithOffsetsV2
"""
TEXT_OPS = frozenset(_TEXT_OPS.split())
TEXT_OPS_SINCE_2_20 = frozenset({"TFText>RoundRobinGenerateMasks", "TFText>RoundRobinTrim", "TFText>Utf8Binarize"})

REFUSED = {  # beginning of an op's name: why no stock server runs it
    "Xla": "XLA op; a stock server has XLA switched off",
    "PyFunc": "calls back into Python",
    "EagerPyFunc": "calls back into Python",
    "Cudnn": "needs cuDNN; a CPU server has no kernel for it",
    "Addons>": "TF Addons op; no server links it",
}
DECISION_FORESTS = "SimpleML"  # beginning of the names of TF Decision Forests' ops, which every server links

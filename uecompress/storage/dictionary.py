"""What headers have in common: they may refer to it instead of saying it. Part of the format.

A dictionary is never changed: what it lacks goes into that of another version. The later something
stands in it, the fewer bits a reference takes.
"""

VERSION_1 = (
    b'{"LayerNorm":{"normalized_shape":[{"GroupNorm":{"num_groups":{"Embedding":{"num_embeddings":'
    b'"embedding_dim":{"Upsample":{"scale_factor":{"Softmax":{"dim":1}}{"LogSoftmax":{"Softplus":{}'
    b'{"Conv1d":{"AvgPool2d":{"AdaptiveAvgPool2d":{"output_size":1}},"Unflatten":{"Sigmoid":{},"Tanh'
    b'":{},"SiLU":{},"GELU":{},"LeakyReLU":{},"Identity":{},"Dropout2d":{"p":0.5}},"ModuleList":{"0"'
    b'{"ZeroPad2d":{"padding":[2,2,2,2]}},"ensembles.MCDropout":{"networks.Ensemble":{"members":{"'
    b'list":[{"ref":"networks.Residual":{"branch":{"Sequential":{"conv1":{"shortcut":{"Identity":{}}'
    b',"dilation":[2,2],"groups":2,"padding_mode":"affine":false,"momentum":null'
    b'"float16","bfloat16","float64","bool","int8","uint8","int32","frozen":["u":{"Linear":{"vh":{"'
    b'.num_batches_tracked":["int64"],"norm1.running_mean":["float32",.running_var":["float32",'
    b'.weight_mu":.log_alpha":.log_sigma":.cores.0":.codes":["int8",.scale":["float32"'
    b'{"model":{"Sequential":{"flatten":{"Flatten":{}},"norm1":{"BatchNorm1d":{"num_features":100}},'
    b'"dropout1":{"Dropout":{"p":0.1}},"block1":{"norm2":{"BatchNorm2d":{"num_features":16}},"conv":{'
    b'"conv1":{"Conv2d":{"in_channels":1,"out_channels":20,"kernel_size":[5,5]}},"stride":[2,2],'
    b'"kernel_size":[3,3],"padding":[1,1]}},"bias":false}},"pool1":{"MaxPool2d":{"kernel_size":2}},'
    b'"linear1":{"Linear":{"in_features":784,"out_features":10}},"relu1":{"ReLU":{}}}},"tensors":{'
    b'"conv1.weight":["float32",16,3,3],"conv1.bias":["float32",64],"linear1.weight":["float32",100,'
    b'"linear2.bias":["float32",10],"relu2":{"ReLU":{}},"linear2":{"Linear":{"in_features":'
    b'"linear3.weight":["float32",10,"linear3.bias":["float32",10]}}'
)
VERSION_2 = (
    b'{"ensembles.PackedLinear":{"ensembles.PackedConv2d":{"alpha":"num_estimators":4,"gamma":'
    b'{"ensembles.BatchEnsembleLinear":{"ensembles.BatchEnsembleConv2d":{"ensembles.Rank1Linear":{'
    b'"ensembles.Rank1Conv2d":{"ensembles.Masksembles":{"ensembles.Fold":{"ensembles.MIMO":{'
    b'"ensembles.DirichletNetwork":{"architecture.EarlyExit":{"exits":[{"thresholds":['
    b'"architecture.SeparableConv2d":{"networks.Attention":{"heads":"hashing.HashedLinear":{'
    b'"hashing.HashedConv2d":{"hashing.MultiHashedLinear":{"hashing.StructuredHashedLinear":{"seed":0'
    b',"folds":"buckets":"lowrank.LowRankSparseLinear":{"lowrank.TTConv2d":{"in_shape":[,"out_shape":['
    b'"lowrank.TTLinear":{"row_shape":[4,"column_shape":[4,"quantization.QuantizedConv2d":{'
    b'"quantization.QuantizedLinear":{"in_features":"bits":8,"quantization.CodebookLinear":{'
    b'"bayes.VNQConv2d":{"bayes.VNQLinear":{"bayes.SparseVDConv2d":{"bayes.SparseVDLinear":{'
    b'"bayes.MeanFieldConv2d":{"bayes.MeanFieldLinear":{"bayes.GroupJeffreysConv2d":{'
    b'"bayes.GroupJeffreysLinear":{"bayes.HorseshoeConv2d":{"bayes.HorseshoeLinear":{'
    b'"networks.ChannelPad2d":{"padding":1,"channels":.zero_point":["int32",.log_scale":["float32",'
    b'.rows":["int32",.columns":["int32",.values":["float32",.codes":["int8",.scale":["float32",1]'
)
VERSION_2 += VERSION_1 + (
    b'{"model":{"Sequential":{"conv1":{"Conv2d":{"in_channels":1,"out_channels":20,"kernel_size":[5,5]'
    b'}},"relu1":{"ReLU":{}},"pool1":{"MaxPool2d":{"kernel_size":2,"stride":2}},"conv2":{"Conv2d":{'
    b'"in_channels":20,"out_channels":50,"kernel_size":[5,5]}},"relu2":{"ReLU":{}},"pool2":{"MaxPool2d'
    b'":{"kernel_size":2,"stride":2}},"flatten":{"Flatten":{}},"linear1":{"Linear":{"in_features":800,'
    b'"out_features":500}},"relu3":{"ReLU":{}},"linear2":{"Linear":{"in_features":500,"out_features":10'
    b'}}}},"tensors":{"conv1.weight":["float32",20,1,5,5],"conv1.bias":["float32",20],"conv2.weight":['
    b'"float32",50,20,5,5],"conv2.bias":["float32",50],"linear1.weight":["float32",500,800],"linear1.'
    b'bias":["float32",500],"linear2.weight":["float32",10,500],"linear2.bias":["float32",10]}}'
    b'"relu2":{"ReLU":{}},"pool2":{"MaxPool2d":{"kernel_size":2,"stride":2}},"flatten":{"Flatten":{}},'
    b'"linear1":{"Sequential":{"0":{"networks.SelectFeatures":{"features":336}},"1":{"Linear":{'
    b'"in_features":,"out_features":"linear1.0.keep":["bool",336],"linear1.1.weight":["float32",'
    b'"linear1.1.bias":["float32",'
    b'{"model":{"Sequential":{"flatten":{"Flatten":{}},"linear1":{"Sequential":{"0":{"bayes.Select'
    b'Features":{"features":784}},"1":{"Linear":{"in_features":500,"out_features":42}}}},"relu1":{'
    b'"ReLU":{}},"linear2":{"Linear":{"in_features":300,"out_features":100}},"relu2":{"ReLU":{}},'
    b'"linear3":{"Linear":{"in_features":100,"out_features":10}}}},"tensors":{"linear1.0.keep":["bool",'
    b'784],"linear1.1.weight":["float32",100,"linear1.1.bias":["float32",100],"linear2.weight":['
    b'"float32",100,300],"linear2.bias":["float32",100],"linear3.weight":["float32",10,100],'
    b'"linear3.bias":["float32",10]}}'
)

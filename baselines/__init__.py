"""The GANs: one file per method, one per family of networks. They know nothing of Ray, MLflow or files.

To add a method, write `baselines/<name>.py` with a subclass of `baselines.base.Method` and register it here.
"""

# The order fixes the colour of a method in every figure: add new names at the end.
METHODS = {
    "gan": "baselines.gan:GAN",
    "wgan_gp": "baselines.wgan_gp:WGANGP",
    "ssgan": "baselines.ssgan:SSGAN",
    "msgan": "baselines.msgan:MSGAN",
    "dagan": "baselines.dagan:DAGAN",
    "dagan_md": "baselines.dagan:DAGANMD",
    "ssgan_la": "baselines.ssgan_la:SSGANLA",
    "ssgan_la_plus": "baselines.ssgan_la:SSGANLAPlus",
    "dist_gan": "baselines.dist_gan:DistGAN",
    "dist_gan_ss": "baselines.dist_gan:DistGANSS",
    "dist_gan_ms": "baselines.dist_gan:DistGANMS",
    "conditional_gan": "baselines.conditional_gan:ConditionalGAN",
    "self_labelling": "baselines.self_labelling:SelfLabelling",
    "pacgan": "baselines.pacgan:PacGAN",
}

NETWORKS = {
    "mlp": "baselines.networks.mlp:MLP",
    "msgan_stacked_mnist": "baselines.networks.msgan_stacked_mnist:MSGANStackedMNIST",
    "pacgan_stacked_mnist": "baselines.networks.pacgan_stacked_mnist:PacGANStackedMNIST",
    "sngan_resnet": "baselines.networks.sngan_resnet:SNGANResNet",
    "msgan_resnet": "baselines.networks.msgan_resnet:MSGANResNet",
    "sngan_cnn": "baselines.networks.sngan_cnn:SNGANCNN",
    "dcgan": "baselines.networks.dcgan:DCGAN",
    "biggan": "baselines.networks.biggan:BigGAN",
    "compare_gan_resnet": "baselines.networks.compare_gan_resnet:CompareGANResNet",
}

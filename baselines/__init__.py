"""The GANs: methods, their networks and what methods share. Plain torch: no Ray, no MLflow, no files.

To add a method, write `baselines/methods/<name>.py` with a subclass of `baselines.common.method.Method` and register it
here.
"""

# The order sets the colour of each method in every figure: add new names at the end.
METHODS = {
    "gan": "baselines.methods.gan:GAN",
    "wgan_gp": "baselines.methods.wgan_gp:WGANGP",
    "ssgan": "baselines.methods.ssgan:SSGAN",
    "msgan": "baselines.methods.msgan:MSGAN",
    "dagan": "baselines.methods.dagan:DAGAN",
    "dagan_md": "baselines.methods.dagan:DAGANMD",
    "ssgan_la": "baselines.methods.ssgan_la:SSGANLA",
    "ssgan_la_plus": "baselines.methods.ssgan_la:SSGANLAPlus",
    "dist_gan": "baselines.methods.dist_gan:DistGAN",
    "dist_gan_ss": "baselines.methods.dist_gan:DistGANSS",
    "dist_gan_ms": "baselines.methods.dist_gan:DistGANMS",
    "conditional_gan": "baselines.methods.conditional_gan:ConditionalGAN",
    "self_labelling": "baselines.methods.self_labelling:SelfLabelling",
    "pacgan": "baselines.methods.pacgan:PacGAN",
    "one_vs_all": "baselines.methods.one_vs_all:OneVsAll",
    "rotation_classifier": "baselines.methods.rotation_classifier:RotationClassifier",
    "rotation_classifier_ms": "baselines.methods.rotation_classifier:MultiClassRotationClassifier",
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
    "compare_gan_sndcgan": "baselines.networks.compare_gan_sndcgan:CompareGANSNDCGAN",
    "ssgan_la_line": "baselines.networks.points.ssgan_la_line:SSGANLALine",
    "pacgan_plane": "baselines.networks.points.pacgan_plane:PacGANPlane",
    "dist_gan_plane": "baselines.networks.points.dist_gan_plane:DistGANPlane",
    "unrolled_plane": "baselines.networks.points.unrolled_plane:UnrolledPlane",
    "patch_cnn": "baselines.networks.classifiers.patch_cnn:PatchCNN",
}

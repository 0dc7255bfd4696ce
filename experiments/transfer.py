"""A2MIM transfers better to object detection and segmentation than the other methods.

Paper: section 5.3, Table 3 (ResNet-50) and Table 4 (ViT-B): COCO with Mask R-CNN, ADE20K with UperNet. Not run here:
the frameworks below run it, with the encoder in their own format. These commands convert it:

    a2mim-checkpoint convert runs/pretrain-paper-resnet50 --to detectron2 --output r50.pkl
    a2mim-checkpoint convert runs/pretrain-paper-vit-base --to detectron2 --output vit-b.pkl
    a2mim-checkpoint convert runs/pretrain-paper-resnet50 --to openmmlab --output r50.pth
    a2mim-checkpoint convert runs/pretrain-paper-vit-base --to openmmlab --output vit-b.pth

Table 3, COCO: the detection folder of facebookresearch/moco (Mask R-CNN, R50-C4, 24 epochs), with detectron2 0.6:

    python train_net.py --config-file configs/coco_R_50_C4_2x_moco.yaml --num-gpus 8 MODEL.WEIGHTS r50.pkl

Table 4, COCO: detectron2's ViTDet; for the paper's 12 epochs set the length of the schedule (``train.max_iter``);
its relative position bias is on by default there:

    tools/lazyconfig_train_net.py --config-file projects/ViTDet/configs/COCO/mask_rcnn_vitdet_b_100ep.py \\
        train.init_checkpoint=vit-b.pkl

ADE20K: mmsegmentation 1.2 (UperNet, batches of 16):

    tools/dist_train.sh configs/upernet/upernet_r50_4xb4-160k_ade20k-512x512.py 4 \\
        --cfg-options model.pretrained=r50.pth
    tools/dist_train.sh configs/mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512.py 8 \\
        --cfg-options model.pretrained=vit-b.pth

Cost: about 100 GPU-hours for COCO and 30 for ADE20K per network and seed, estimated from the frameworks' own tables.
Supported if: AP of boxes and masks, and mIoU, are higher than with each other method fine-tuned by the same commands.
Opposed if: another method is better by more than the deviation over seeds.
"""

from __future__ import annotations

from .claims import Claim, main

CLAIM = Claim(
    __doc__, "section 5.3, Tables 3 and 4", (), lambda _: [], lambda *_: {}, lambda _: [], drawn=("table3", "table4")
)

if __name__ == "__main__":
    main(CLAIM)

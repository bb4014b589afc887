package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	core "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

const (
	provisionerName  = "restate-operator/host-path"
	storageClassName = "standard"
	// the owner that Restate's image runs as, so that volumes can be written to without an init container
	volumeUID  = 1000
	volumeGID  = 2000
	volumeMode = os.ModeSetgid | 0o775
	// no client-side throttle: a benchmark measures the operator, not this program
	clientQPS   = 1000
	clientBurst = 2000
)

// runProvisioner plays the storage of a cloud: it makes the StorageClass "standard" the default one, gives every claim of
// that class a volume, and grows volumes whose claims ask for more. A volume is a folder, or (with --no-directories, where
// no pod will ever open it) only an object. Growing changes what the objects say: a folder has no size.
func runProvisioner(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("provisioner", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig file")
	folder := flags.String("folder", "", "folder under which volumes are made")
	noDirectories := flags.Bool("no-directories", false, "make PersistentVolume objects only")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = clientQPS, clientBurst
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := createStorageClass(ctx, client); err != nil {
		return err
	}
	volumes := &hostPathVolumes{folder: *folder, objectsOnly: *noDirectories}
	factory := informers.NewSharedInformerFactory(client, 0)
	claims := factory.Core().V1().PersistentVolumeClaims().Informer()
	if _, err := claims.AddEventHandler(expander(ctx, client)); err != nil {
		return err
	}
	provisioner := controller.NewProvisionController(ctx, client, provisionerName, volumes,
		controller.LeaderElection(false), controller.Threadiness(16), controller.ClaimsInformer(claims))
	factory.Start(ctx.Done())
	provisioner.Run(ctx)
	return nil
}

func createStorageClass(ctx context.Context, client kubernetes.Interface) error {
	expand, binding := true, storage.VolumeBindingWaitForFirstConsumer
	_, err := client.StorageV1().StorageClasses().Create(ctx, &storage.StorageClass{
		ObjectMeta: meta.ObjectMeta{
			Name:        storageClassName,
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		Provisioner:          provisionerName,
		AllowVolumeExpansion: &expand,
		VolumeBindingMode:    &binding,
	}, meta.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

type hostPathVolumes struct {
	folder      string
	objectsOnly bool
}

func (v *hostPathVolumes) Provision(_ context.Context, options controller.ProvisionOptions) (*core.PersistentVolume, controller.ProvisioningState, error) {
	claim := options.PVC
	name := fmt.Sprintf("%s_%s_%s", claim.Namespace, claim.Name, options.PVName)
	path := filepath.Join(v.folder, name)
	if !v.objectsOnly {
		if err := makeVolumeFolder(path); err != nil {
			return nil, controller.ProvisioningFinished, err
		}
	}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: options.PVName},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
			PersistentVolumeSource:        core.PersistentVolumeSource{HostPath: &core.HostPathVolumeSource{Path: path}},
		},
	}, controller.ProvisioningFinished, nil
}

func (v *hostPathVolumes) Delete(_ context.Context, volume *core.PersistentVolume) error {
	if v.objectsOnly {
		return nil
	}
	path := volume.Spec.HostPath.Path
	if filepath.Dir(path) != filepath.Clean(v.folder) {
		return fmt.Errorf("volume %s is at %s, which is not under %s: not removed", volume.Name, path, v.folder)
	}
	return os.RemoveAll(path)
}

func makeVolumeFolder(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := os.Chown(path, volumeUID, volumeGID); err != nil {
		return err
	}
	return os.Chmod(path, volumeMode)
}

// expander is what a CSI driver's resizer does: volume first, then the claim's status.
func expander(ctx context.Context, client kubernetes.Interface) cache.ResourceEventHandler {
	expand := func(object any) {
		claim := object.(*core.PersistentVolumeClaim)
		if err := expandVolume(ctx, client, claim); err != nil && !apierrors.IsNotFound(err) {
			klog.ErrorS(err, "cannot expand, tried again when the claim changes", "claim", klog.KObj(claim))
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    expand,
		UpdateFunc: func(_, object any) { expand(object) },
	}
}

func expandVolume(ctx context.Context, client kubernetes.Interface, claim *core.PersistentVolumeClaim) error {
	requested, actual := claim.Spec.Resources.Requests[core.ResourceStorage], claim.Status.Capacity[core.ResourceStorage]
	isOurs := claim.Spec.StorageClassName != nil && *claim.Spec.StorageClassName == storageClassName
	if !isOurs || claim.Status.Phase != core.ClaimBound || requested.Cmp(actual) <= 0 {
		return nil
	}
	volume, err := client.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, meta.GetOptions{})
	if err != nil {
		return err
	}
	volume.Spec.Capacity[core.ResourceStorage] = requested
	if _, err := client.CoreV1().PersistentVolumes().Update(ctx, volume, meta.UpdateOptions{}); err != nil {
		return err
	}
	grown := claim.DeepCopy()
	grown.Status.Capacity[core.ResourceStorage] = requested
	grown.Status.Conditions = nil
	_, err = client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, grown, meta.UpdateOptions{})
	return err
}

/** Who the operator is as a field manager (contract, section 1): ownership of a field moves with these names. */

/** Of what it makes, applies and patches, where nothing else is said. */
export const FIELD_MANAGER = "restate-operator";
/** Of autoscalers. */
export const AUTOSCALING_MANAGER = "restate-operator/autoscaling";
/** Of the annotations that a version gets from its resource once it exists. */
export const ANNOTATIONS_MANAGER = "restate-operator/propagate-annotations";

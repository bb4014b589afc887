import { bundleOperator } from "./bootstrap/images/bundle.ts";
await bundleOperator("/work/scratch/charts/d1"); await bundleOperator("/work/scratch/charts/x/d2");

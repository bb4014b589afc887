/** Text as a Helm template that renders to it: what would open a template action is written as an action that prints it. */
export const asHelmTemplate = (text: string): string => text.replaceAll("{{", '{{ "{{" }}');

import type { Problem } from "../problems";
import { byId, make } from "./dom";

/** The alert: what went wrong, what helps, and where it does, the field for the access token. */
export class ProblemView {
  private readonly alert = byId("alert");
  private readonly tokenForm = byId<HTMLFormElement>("token-form");
  private readonly token = byId<HTMLInputElement>("token");

  constructor(onToken: (token: string) => void) {
    this.tokenForm.addEventListener("submit", (event) => {
      event.preventDefault();
      const token = this.token.value.trim();
      if (token) onToken(token);
    });
  }

  show(problem: Problem | undefined): void {
    const wantsToken = problem?.code === "token_required";
    this.alert.replaceChildren(...(problem ? [make("strong", "", problem.title), make("span", "", problem.help)] : []));
    this.alert.dataset.code = problem?.code ?? "";
    this.tokenForm.hidden = !wantsToken;
    document.body.classList.toggle("wants-text-call", !!problem?.textHelps);
    if (wantsToken) this.token.focus();
    else this.token.value = "";
  }
}
